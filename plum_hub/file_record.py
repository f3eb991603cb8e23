"""Small records that are kept as JSON: one class writes them and reads them back."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer


class FileRecord(BaseModel):
    """Base of records that are kept as JSON; optional keys are written only when they have a value."""

    model_config = ConfigDict(frozen=True, strict=True)

    optional_keys: ClassVar[frozenset[str]] = frozenset()
    """Fields that are left out of the JSON while they are None."""

    @model_serializer(mode="wrap")
    def _omit_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {
            key: value for key, value in handler(self).items() if value is not None or key not in self.optional_keys
        }

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Parse and validate a record.

        Args:
            text: JSON, in UTF-8.

        Returns:
            The record; unknown keys are ignored.

        Raises:
            ValueError: It is not valid JSON or not such a record; the message is one line of at most 200 characters.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise ValueError(" ".join(f"{key}: {first['msg']}".removeprefix(": ").split())[:200]) from error
