"""The marker that makes an annotation an opaque JSON object: ``Annotated[T, Opaque]``."""


class _OpaqueMarker:
    def __repr__(self) -> str:
        return "cog.Opaque"


Opaque = _OpaqueMarker()
