"""The HTTP interface: Cog's routes, and the contracts of the platforms beside them."""
