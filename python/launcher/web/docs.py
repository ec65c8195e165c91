"""Placeholder."""


def routes(router, service):
    """None yet."""
