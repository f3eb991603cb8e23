"""Small records that are kept as JSON: one class writes them and reads them back."""

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from plum_hub.errors import RunError
from plum_hub.lines import whole_lines, without_checksum


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

    @classmethod
    def read_all(cls, path: Path, what: str, mend: str) -> list[Self]:
        """Read a file with a record in each line.

        Args:
            path: The file; one that is missing has no records.
            what: What a line should be, for the message, as in `a release`.
            mend: What to do about a line that is none.

        Returns:
            The records, in the order of the lines.

        Raises:
            RunError: A line is damaged.
        """
        records = []
        for number, line in whole_lines(path):
            try:
                records.append(cls.from_json(without_checksum(line)))
            except ValueError as error:
                raise RunError(f"{path}:{number}: not {what} ({error}); {mend}") from error
        return records
