"""Import paths of older projects; there is no server in this package."""
