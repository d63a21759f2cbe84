"""Events as the API server takes them."""

from __future__ import annotations

import pytest

from serving.rollout.kube.keeping import NOTE, event
from serving.rollout.kube.names import ROLLOUT

ABOUT = {"metadata": {"namespace": "models", "name": "fraud-4", "uid": "u"}}


@pytest.mark.parametrize("note", ["a" * 3000, "é" * 3000, "風" * 3000, "a" + "風" * 3000])
def test_a_note_is_cut_to_the_bytes_that_the_api_server_takes(note: str) -> None:
    made = event(ROLLOUT, ABOUT, "Aborted", note, name="e", at=0.0, warning=False)["note"]
    assert note.startswith(made)
    assert NOTE - 4 < len(made.encode()) <= NOTE


def test_a_short_note_is_told_whole() -> None:
    assert event(ROLLOUT, ABOUT, "Aborted", "é", name="e", at=0.0, warning=False)["note"] == "é"
