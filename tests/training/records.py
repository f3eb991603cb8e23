"""Records as the files of a training and of rounds hold them."""

from typing import Any

TRAINING: dict[str, Any] = {
    "finished": True,
    "settings": {"method": "kto", "report_to": ["trackio"]},
    "decided": {
        "weights": "lora", "precision": "bf16", "gradient_checkpointing": False, "reference": "live",
        "learning_rate": 1e-5, "batch_size": 4, "accumulation": 8,
    },
    "class_weights": {"desirable": 1.0, "undesirable": 1.25},
    "model": {"name": "m", "revision": "r"},
    "data": {"name": "d", "revision": "r", "rows": 2, "sha256": "s", "written_by": {"name": "m", "revision": "r"}},
    "on_policy": True,
    "processes": 1,
    "rows": {
        "read": 2, "left_out": {"too long": 0}, "kept": 2, "chosen": 1, "rejected": 1, "instructions": 1, "longest": 9,
        "epochs": [{"rows": 2, "left_out": {}}],
    },
    "steps": 1,
    "memory_gb": {"estimated": 1.0, "free": 2.0},
    "versions": {"python": "3"},
    "seconds": {"of the last start": 1.0, "from step": 0},
    "peak_gb": 1.0,
}  # fmt: skip
ROUND: dict[str, Any] = {
    "round": 1,
    "at": "2026-01-01T00:00:00+00:00",
    "dataset": {"repo": "a/b", "tag": "v1.0.0", "commit": "c", "hub": "public"},
    "checkpoint": "rounds/0001/checkpoint",
    "start": {"name": "m", "revision": "r"},
    "model": {"name": "m-round-1", "revision": "s"},
    "rows": {"kept": 2, "chosen": 1, "rejected": 1},
    "steps": 1,
    "trained_on": {"instructions": 1, "ids": "i"},
    "samples_each": 2,
    "gain": {
        "instructions": 1, "ids": "i", "trained_on": 0, "before": 0.5, "after": 0.6, "gain": 0.1, "low": 0.05,
        "high": 0.2, "p_value": None,
    },
    "decision": "continue",
}  # fmt: skip
