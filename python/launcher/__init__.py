"""Process 1 of the image: HTTP server, queue worker and supervisor of the model process."""

#: The release of Cog whose HTTP interface this server offers.
COG_VERSION = "0.23.1"
