"""A digest of a config's rows that does not depend on how they are stored.

The bytes of a Parquet file depend on the version of pyarrow, so its SHA-256 does not tell whether rows changed. This
digest covers the values alone: the same rows in the same order have the same digest under any version of pyarrow, any
compression, and any number of files and row groups.
"""

import hashlib
import json
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class RowsDigest:
    """Incremental digest over a stream of tables, column by column; memory does not grow with the rows."""

    def __init__(self) -> None:
        self._rows = 0
        self._leaves: dict[str, hashlib._Hash] = {}

    def add(self, table: "pa.Table") -> "pa.Table":
        """Append the rows of a table.

        Args:
            table: Rows with the same columns as in every earlier table. Values are strings, integers, floats and
                booleans, and lists and structs of these.

        Returns:
            The same table, so that the method can be mapped over a stream.
        """
        self._rows += table.num_rows
        for name, column in zip(table.schema.names, table.columns, strict=True):
            for chunk in column.chunks:
                self._add(name, chunk)
        return table

    def hexdigest(self) -> str:
        """Return the SHA-256 of all rows so far, in hexadecimal."""
        leaves = sorted((name, leaf.hexdigest()) for name, leaf in self._leaves.items())
        return hashlib.sha256(json.dumps([self._rows, leaves]).encode()).hexdigest()

    def _add(self, name: str, array: "pa.Array") -> None:
        """Digest the validity, the lengths and the values of an array. Nothing below a null counts."""
        import pyarrow as pa
        from pyarrow import compute, types

        data_type = array.type
        self._update(name, compute.is_valid(array).cast(pa.uint8()))
        if types.is_struct(data_type):
            for number, field in enumerate(data_type):
                self._add(f"{name}.{field.name}", compute.struct_field(array, [number]))
        elif types.is_list(data_type):
            self._update(f"{name}[]", compute.fill_null(compute.list_value_length(array), 0).cast(pa.int64()))
            self._add(f"{name}[*]", array.flatten())
        elif types.is_string(data_type):
            strings = compute.fill_null(array, "")
            self._update(f"{name}#", compute.binary_length(strings).cast(pa.int64()))
            self._leaf(f"{name}$").update(_characters(strings))
        else:
            numbers = array.cast(pa.uint8()) if types.is_boolean(data_type) else array
            self._update(f"{name}=", compute.fill_null(numbers, 0))

    def _update(self, name: str, array: "pa.Array") -> None:
        """Digest the buffer of a fixed-width array."""
        width = array.type.bit_width // 8
        begin, end = array.offset * width, (array.offset + len(array)) * width
        self._leaf(name).update(memoryview(array.buffers()[1] or b"")[begin:end])

    def _leaf(self, name: str) -> "hashlib._Hash":
        return self._leaves.setdefault(name, hashlib.sha256())


def _characters(array: "pa.StringArray") -> memoryview:
    """Return the contiguous bytes of all strings of an array without nulls."""
    _, offsets, characters = array.buffers()
    if not len(array) or characters is None:
        return memoryview(b"")
    (begin,) = struct.unpack_from("<i", offsets, 4 * array.offset)
    (end,) = struct.unpack_from("<i", offsets, 4 * (array.offset + len(array)))
    return memoryview(characters)[begin:end]
