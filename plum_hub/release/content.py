"""A digest of the rows of a config that does not depend on how they are stored.

The bytes of a Parquet file follow the version of pyarrow, so its sha256 says nothing about whether rows changed. This
digest is made of the values alone: the same rows in the same order give the same digest under any pyarrow, any
compression, any number of files and row groups.
"""

import hashlib
import json
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class RowsDigest:
    """Digests tables as they stream by, column by column; memory does not grow with the rows."""

    def __init__(self) -> None:
        self._rows = 0
        self._leaves: dict[str, hashlib._Hash] = {}

    def add(self, table: "pa.Table") -> "pa.Table":
        """Digest the rows of a table behind those before, and return it.

        Args:
            table: has the same columns as every other one, of strings, integers, floats and booleans, and of lists
                and structs of them.
        """
        self._rows += table.num_rows
        for name, column in zip(table.schema.names, table.columns, strict=True):
            for chunk in column.chunks:
                self._add(name, chunk)
        return table

    def hexdigest(self) -> str:
        """Return the digest of all rows so far: sha256, in hexadecimal."""
        leaves = sorted((name, leaf.hexdigest()) for name, leaf in self._leaves.items())
        return hashlib.sha256(json.dumps([self._rows, leaves]).encode()).hexdigest()

    def _add(self, name: str, array: "pa.Array") -> None:
        """Digest which values there are, how long each is, and what they hold; below a null lies nothing."""
        import pyarrow as pa
        from pyarrow import compute, types

        kind = array.type
        self._update(name, compute.is_valid(array).cast(pa.uint8()))
        if types.is_struct(kind):
            for number, field in enumerate(kind):
                self._add(f"{name}.{field.name}", compute.struct_field(array, [number]))
        elif types.is_list(kind):
            self._update(f"{name}[]", compute.fill_null(compute.list_value_length(array), 0).cast(pa.int64()))
            self._add(f"{name}[*]", array.flatten())
        elif types.is_string(kind):
            texts = compute.fill_null(array, "")
            self._update(f"{name}#", compute.binary_length(texts).cast(pa.int64()))
            self._leaf(f"{name}$").update(_text(texts))
        else:
            whole = array.cast(pa.uint8()) if types.is_boolean(kind) else array
            self._update(f"{name}=", compute.fill_null(whole, 0))

    def _update(self, name: str, array: "pa.Array") -> None:
        """Digest values of a fixed width."""
        width = array.type.bit_width // 8
        begin, end = array.offset * width, (array.offset + len(array)) * width
        self._leaf(name).update(memoryview(array.buffers()[1] or b"")[begin:end])

    def _leaf(self, name: str) -> "hashlib._Hash":
        return self._leaves.setdefault(name, hashlib.sha256())


def _text(array: "pa.StringArray") -> memoryview:
    """Return the characters of all strings of an array without nulls, which lie behind one another."""
    _, offsets, characters = array.buffers()
    if not len(array) or characters is None:
        return memoryview(b"")
    (begin,) = struct.unpack_from("<i", offsets, 4 * array.offset)
    (end,) = struct.unpack_from("<i", offsets, 4 * (array.offset + len(array)))
    return memoryview(characters)[begin:end]
