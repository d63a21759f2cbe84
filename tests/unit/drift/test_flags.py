import pytest

from serinus.errors import SerinusError
from serving.drift.cli import _url


@pytest.mark.parametrize("text", ["http://127.0.0.1:9093/api/v1/alerts", "https://monitor.models.svc:8090"])
def test_a_url_to_post_to_is_taken_as_it_is(text: str) -> None:
    assert _url("--forward", text) == text


@pytest.mark.parametrize(
    "text", ["monitor:8090", "10.0.0.1:8090", "monitor", "http://", "http://a:b", "ftp://a"]
)
def test_what_nothing_could_ever_be_posted_to_is_refused_at_start(text: str) -> None:
    with pytest.raises(SerinusError) as raised:
        _url("--forward", text)
    assert raised.value.code == "SRN-DRIFT-008"
    assert raised.value.where == "--forward"
