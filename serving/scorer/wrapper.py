"""The bundle as a class of Seldon's Python wrapper.

    seldon-core-microservice serving.scorer.wrapper.SerinusModel --service-type MODEL
        --parameters '[{"name": "bundle", "value": "/mnt/models", "type": "STRING"}]'

For a platform where every model must be hosted by ``seldon-core-microservice``
(seldon-core 1.17.1). Rows are read and answers given by the same code as in the
scorer. It keeps no decision log and sheds no load: where those are wanted, run
the scorer, which a SeldonDeployment takes as it takes any container.

Nothing of seldon-core is imported before it hosts the class, and nothing of the
scorer that needs a newer protobuf or Prometheus client than it allows.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from serinus.bundle import Keyring, open_bundle
from serinus.home import find_home
from serinus.scoring import Explain, Scorer
from serving.scorer import feedback as feedbacks
from serving.scorer import v1
from serving.scorer.grpc import documents
from serving.scorer.identity import Identity
from serving.scorer.refusal import Refusal
from serving.scorer.rows import Parsed


class SerinusModel:
    """One bundle behind the wrapper's methods. Each of its processes has one.

    Args:
        bundle: directory of the bundle; ``model_uri`` is another name for it, which the
            operator uses where a storage initialiser has fetched the model.
        home: installation with the trusted keys (default: ``$SERINUS_HOME`` or ``./.serinus``).
        explain: reasons for which answers: ``always``, ``adverse`` (review and decline) or ``never``.
        feedback: file for outcomes sent back (default: ``<home>/decisions/<model>.feedback.jsonl``).
        untrusted: take a bundle whose signature is not checked (tests only).
    """

    def __init__(
        self,
        bundle: str = "",
        model_uri: str = "/mnt/models",
        home: str = "",
        explain: Explain = "adverse",
        feedback: str = "",
        untrusted: bool = False,
    ) -> None:
        if explain not in ("always", "adverse", "never"):
            raise ValueError(f'parameter explain is "{explain}"; expected always, adverse or never')
        self._bundle = Path(bundle or model_uri)
        self._home = find_home(Path(home) if home else None)
        self._explain: Explain = explain
        self._feedback_path = Path(feedback) if feedback else None
        self._untrusted = untrusted
        self._scorer: Scorer | None = None
        self._identity: Identity | None = None

    def load(self) -> None:
        """Verify the bundle and test it. A second call does nothing.

        Raises:
            SerinusError: if it is not trusted, not whole, or scores differently here. (Not
                AttributeError, which the wrapper takes for a class without ``load``.)
        """
        if self._scorer is not None:
            return
        trusted = None if self._untrusted else Keyring.load(self._home.keys)
        scorer = Scorer(open_bundle(self._bundle, trusted=trusted))
        scorer.self_test()
        self._identity = Identity(
            model=os.environ.get("PREDICTIVE_UNIT_ID") or scorer.name,
            version=scorer.version,
            digest=scorer.digest,
            predictor=os.environ.get("PREDICTOR_ID", "default"),
        )
        self._scorer = scorer

    def _loaded(self) -> tuple[Scorer, Identity]:
        self.load()
        assert self._scorer is not None
        assert self._identity is not None
        return self._scorer, self._identity

    # --- scoring ---------------------------------------------------------

    def predict_raw(self, message: Any) -> Any:
        """A ``SeldonMessage``, as a document (REST) or a message (gRPC), to the scorer's answer in that form.

        The wrapper would make text of the numbers in a row with a category, so its
        ``predict`` is not used. A refusal is an answer with a failed status, which REST
        sends with that code.
        """
        scorer, identity = self._loaded()
        as_document = isinstance(message, dict)
        try:
            request = documents.as_request(message) if as_document else documents.request(message)
            parsed = v1.read(request, scorer.vectorizer)
            if parsed.records is not None:
                raise Refusal(400, parsed.where, "the wrapper keeps no features by entity; send rows")
            answer = self._answer(scorer, identity, parsed)
        except Refusal as refusal:
            answer = msgspec.json.decode(v1.encode_error(refusal.status, str(refusal)))
        return answer if as_document else _as_message(answer)

    def _answer(self, scorer: Scorer, identity: Identity, parsed: Parsed) -> dict[str, Any]:
        answers = scorer.score(np.asarray(parsed.rows, dtype=np.float64), self._explain)
        request_id = parsed.request_id or os.urandom(16).hex()
        answer = msgspec.json.decode(v1.encode(answers, parsed, request_id, identity))
        counted = Counter(given.decision for given in answers)
        answer["meta"]["metrics"] = self.metrics() + [
            {"type": "COUNTER", "key": "serinus_decisions", "value": n, "tags": {"decision": decision}}
            for decision, n in counted.items()
        ]
        return answer

    def predict(
        self, rows: Any, names: Iterable[str] | None = None, meta: Mapping[str, Any] | None = None
    ) -> Any:
        """Probabilities, shape (n, 1), of rows (n, F); for what calls the class without messages.

        Args:
            names: the columns' names; none means the contract's features in its order.

        Raises:
            Refusal: naming the field.
        """
        scorer, _ = self._loaded()
        document = {"data": {"ndarray": np.asarray(rows, dtype=object).tolist()}}
        if names is not None and list(names):
            document["data"]["names"] = list(names)
        parsed = v1.read(documents.as_request(document), scorer.vectorizer)
        vectors = np.asarray(parsed.rows, dtype=np.float64)
        return np.array([[answer.probability] for answer in scorer.score(vectors, "never")])

    def class_names(self) -> list[str]:
        """The columns of an answer."""
        return ["probability"]

    def tags(self) -> dict[str, str | int]:
        """What an answer says of its maker."""
        return self._loaded()[1].tags

    def metrics(self) -> list[dict[str, Any]]:
        """What is served, for the wrapper's metrics port; an answer adds its decisions to it."""
        _, identity = self._loaded()
        return [{"type": "GAUGE", "key": "serinus_model_version", "value": identity.version}]

    # --- around it -------------------------------------------------------

    def init_metadata(self) -> dict[str, Any]:
        """Seldon's model metadata, as the scorer gives it."""
        scorer, identity = self._loaded()
        return msgspec.json.decode(v1.metadata(identity, scorer.vectorizer.names))

    def health_status(self) -> str:
        """Tells that the bundle still scores its golden rows. Raises SerinusError if not."""
        self._loaded()[0].self_test()
        return "ok"

    def send_feedback_raw(self, message: Any) -> Any:
        """Keep an outcome by its request id; an answer with a failed status if that cannot be."""
        _, identity = self._loaded()
        try:
            kept = feedbacks.decode(documents.feedback(message), None, identity.predictor, time.time)
            self._keep(kept, identity.model)
            answer: dict[str, Any] = {"meta": {"puid": kept.request_id}}
        except Refusal as refusal:
            answer = msgspec.json.decode(v1.encode_error(refusal.status, str(refusal)))
        return _as_message(answer)

    def _keep(self, kept: feedbacks.Feedback, model: str) -> None:
        path = self._feedback_path or self._home.decisions / f"{model}.feedback.jsonl"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Several processes append here: one line is one write.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            try:
                os.write(descriptor, msgspec.json.encode(kept) + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Refusal(503, "", f"the feedback file cannot be written ({error.strerror})") from error


def _as_message(answer: dict[str, Any]) -> Any:
    """A document as a message of seldon-core's own pool."""
    from seldon_core.utils import json_to_seldon_message  # pyright: ignore[reportMissingImports]

    return json_to_seldon_message(answer)
