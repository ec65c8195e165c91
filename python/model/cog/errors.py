"""Exceptions of the public interface."""


class CogError(Exception):
    """The root of this module's exceptions."""


class ConfigDoesNotExist(CogError):
    """There is no cog.yaml."""


class PredictorNotSet(CogError):
    """cog.yaml names no predictor."""
