"""Process 1 of the image: HTTP server, queue worker and supervisor of the model process."""

#: The release of Cog whose HTTP interface this server offers.
COG_VERSION = "0.23.1"

#: Of this program; the same as in ``package.json``, which a test compares.
VERSION = "0.1.0"
