"""The main job: data, pipeline, serving, four canaries, drift and retraining, and an honest end."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import sys
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from serinus.bundle import open_bundle
from serinus.contract import Contract, load_contract
from serinus.errors import SerinusError
from serinus.features.stream import FeatureStream
from serinus.home import Home
from serinus.registry import Registry
from serving.local import monitoring
from serving.local.demo import records
from serving.local.demo.candidates import Cookbook, Recipe, telling_column
from serving.local.demo.cases import Case, read_config
from serving.local.demo.closing import Closing
from serving.local.demo.drift_story import drift_story
from serving.local.demo.drifting import Silence
from serving.local.demo.programs import must
from serving.local.demo.screen import Screen
from serving.local.demo.story import play, spec_for, tell_ending
from serving.local.demo.traffic import Source, Traffic, decision_of
from serving.local.demo.training import Kitchen, retraining_config, stopped_by_gate, train
from serving.local.platform import Platform, Settings

BUILDER, APPROVER, VALIDATOR = "alice", "bob", "vera"
# Dated records need enough of the later weeks to learn a new pattern from; undated ones are few and mixed.
LIVE_SHARE = {True: 0.4, False: 0.25}
FEWEST_RECORDS = 400
RATE = 150.0  # requests per second, unless told otherwise
LOOK = "2s"  # of the drift monitor; five minutes by default
SCORER = (sys.executable, "-m", "serving.scorer")
# Room for some 50,000 nodes, more than twice what the default training grows; both predictors have it.
MODEL_MEMORY = "4MiB"
RETRAINING = 10  # times the champion's training


@dataclass(frozen=True)
class Options:
    """How the demo is played. ``rate`` is requests per second, ``live_rows`` how many
    different ones are prepared, ``factor`` by how much the stream is inflated. ``timeout``
    is seconds for one story at the usual rate; evidence takes longer with fewer requests."""

    case: Case
    home: Home
    shared: Home
    seed: int = 7
    rate: float = RATE
    quick: bool = False
    live_rows: int = 12_000
    factor: float = 2.5
    timeout: float = 150.0

    @property
    def time_for_a_story(self) -> float:
        """Seconds after which a story is given up."""
        return self.timeout * max(1.0, RATE / self.rate)


class Demo:
    """One play of the main job. ``run`` returns what was made of it."""

    def __init__(self, options: Options, screen: Screen) -> None:
        self.options = options
        self.screen = screen
        self.home = options.home
        self.case = options.case
        self.log = self.home.root / "logs" / "pipelines.log"
        self.contract: Contract = load_contract(options.case.contract)
        self.config: dict[str, Any] = read_config(options.case.config)
        self.work = self.home.root / "work"
        self.closing = Closing(self.home, screen)

    async def run(self) -> bool:
        """Play it all. True only if every story ended as it should."""
        say = self.screen.say
        with self.screen.part("1", f"Data: {self.case.name}"):
            await self._data()
        with self.screen.part("2", "Pipeline: from data to a validated, signed, registered model"):
            champion = await self._pipeline()
        bundle = open_bundle(champion["bundle"], trusted=None)
        column = telling_column(bundle)
        recipes = self._recipes(column)
        kitchen = Kitchen(self.home, recipes, by=BUILDER, log=self.log)
        try:
            with self.screen.part("3", "Serve: the champion behind Envoy"):
                rows, shifted = self._traffic(column)
            async with Platform(self.home, self._settings()) as platform:
                say("   starting Envoy, the scorer, the drift monitor and the retraining receiver")
                await platform.start(str(champion["version"]), model=self.contract.name)
                say(f"   {platform.url}  Seldon V1 and Open Inference V2, one port")
                source = Source(rows)
                async with (
                    self._monitoring(platform),
                    Traffic(platform.url, source, self.options.rate) as traffic,
                ):
                    silence = Silence()
                    for number, recipe in enumerate(recipes, start=1):
                        with self.screen.part(f"4.{number}", f"Canary: {recipe.title}"):
                            await self._canary(platform, kitchen, traffic, recipe)
                        await silence.look(platform)
                    await self._show_decision(traffic)
                    if shifted:
                        with self.screen.part("5", "Drift: the stream shifts, retraining starts itself"):
                            await drift_story(
                                platform,
                                self.screen,
                                self.home,
                                traffic,
                                shifted,
                                self.closing,
                                silence,
                                column=column,
                                factor=self.options.factor,
                                builder=BUILDER,
                                approver=APPROVER,
                                validator=VALIDATOR,
                                timeout=self.options.time_for_a_story,
                                patience=self._patience(champion),
                            )
        finally:
            await kitchen.close()
        return self.closing.summary(self.case.name)

    @property
    def _live_share(self) -> float:
        return LIVE_SHARE[self.contract.event.time is not None]

    def _patience(self, champion: dict[str, Any]) -> float:
        """Seconds that retraining may take: it reads more than the champion's training did,
        and stands back for live traffic, on a machine that may be busy."""
        took = float(champion.get("seconds", {}).get("total", 0.0))
        return max(self.options.time_for_a_story, RETRAINING * took)

    # --- 1. data ------------------------------------------------------------------

    async def _data(self) -> None:
        raw = self.case.data
        if raw is None:
            name = "-".join(a.strip("-") for a in self.case.generate)
            raw = self.options.shared.root / "demo" / "data" / f"{name}.parquet"
            if not raw.exists():
                raw.parent.mkdir(parents=True, exist_ok=True)
                partial = raw.with_name(f"partial-{raw.name}")
                await must("components.datasets", [*self.case.generate, "--out", str(partial)], log=self.log)
                partial.rename(raw)
        typed = self.work / "records.parquet"
        self.work.mkdir(parents=True, exist_ok=True)
        report = await must(
            "components.ingest",
            [
                "--data",
                str(raw),
                "--contract",
                str(self.case.contract),
                "--out",
                str(typed),
                "--output",
                "json",
            ],
            log=self.log,
        )
        if report["rows"] < FEWEST_RECORDS:
            raise SerinusError(
                "SRN-DEMO-003",
                f"{report['rows']:,} records are too few to train on and to replay",
                where=str(raw),
                hint=f"Give {FEWEST_RECORDS:,} or more; `serinus pipeline run` trains on fewer.",
            )
        records.cut(
            self.contract, typed, self.work / "history.parquet", self.work / "live.parquet",
            share=self._live_share, seed=self.options.seed,
        )  # fmt: skip
        period = f"from {report['first'][:10]} to {report['last'][:10]}" if report.get("first") else "undated"
        self.screen.say(
            f"   {report['rows']:,} records {period}, {report['positives']:,} of them "
            f"{self.contract.label.column} = {self.contract.label.positive}; "
            f"the last {self._live_share:.0%} are kept as live traffic"
        )

    # --- 2. pipeline --------------------------------------------------------------

    async def _pipeline(self) -> dict[str, Any]:
        history = self.work / "history.parquet"
        if self.case.first is not None:
            self.screen.say(f"   {self.case.first.name}: the first attempt")
            gate = await stopped_by_gate(
                self.home,
                contract=self.case.contract,
                config=self.case.first,
                data=history,
                by=BUILDER,
                log=self.log,
            )
            self.closing.gate(gate)
            self.screen.say(f"   {self.case.config.name if self.case.config else ''}: the second attempt")
        result = await train(
            self.home, contract=self.case.contract, config=self.case.config, data=history,
            by=BUILDER, show=True, log=self.log,
        )  # fmt: skip
        registry = Registry(self.home)
        name, version = str(result["name"]), int(result["version"])
        # The first version has no champion to be compared with: a person lets it go live.
        roles = registry.access.requirement(registry.get(name, version).tier).roles or ("approver",)
        for role in roles:
            by = VALIDATOR if role == "validator" else APPROVER
            registry.approve(
                name, version, by=by, role=role, reason="first version; read its validation report"
            )
        registry.set_stage(name, version, "champion", by=APPROVER, reason="first version")
        self.screen.say(
            f"   {name} v{version} {result['digest'][:19]}… built by {BUILDER}, "
            f"approved as the first champion by {APPROVER}"
        )
        self.closing.trained(result)
        return result

    def _recipes(self, column: str) -> list[Recipe]:
        book = Cookbook(
            self.work / "candidates", self.contract, self.work / "history.parquet", self.config, column
        )
        shared = [book.slow(), book.good()]
        if not column:
            self.screen.say("   no number is a feature as it stands: the stories that bend one are left out")
            return shared if not self.options.quick else shared[1:]
        if self.options.quick:
            return [book.errors(), book.good()]
        return [book.errors(), shared[0], book.shifted(), shared[1]]

    # --- 3. live traffic ------------------------------------------------------------

    def _traffic(self, column: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Live rows, and the same with one column inflated, each enriched by the stream engine."""
        history, live = self.work / "history.parquet", self.work / "live.parquet"
        began = time.monotonic()
        stream = records.warm_stream(self.contract, history)
        before = stream.snapshot()
        fresh = itertools.islice(records.rows(live), self.options.live_rows)
        rows = list(records.live_features(self.contract, stream, fresh))
        each = (time.monotonic() - began) / max(len(rows), 1) * 1e6
        self.screen.say(
            f"   {len(rows):,} live requests, features by the stream engine ({each:.0f} µs each, its history included)"
        )
        if not column:
            return rows, []
        bent = self.work / "shifted.parquet"
        records.shift(self.contract, live, bent, column, self.options.factor)
        stream = FeatureStream(self.contract)
        stream.restore(before)
        after = itertools.islice(records.rows(bent), self.options.live_rows // 2)
        shifted = list(records.live_features(self.contract, stream, after))
        # What retraining will read: the past, and the weeks of the new pattern with their labels.
        records.join([history, bent], self.work / "landing.parquet")
        retraining_config(self.config, self.work / "retraining-model.yaml")
        return rows, shifted

    def _settings(self) -> Settings:
        command = [
            "nice", "-n", "15", sys.executable, "-m", "pipelines", "run",
            "--contract", str(self.case.contract.absolute()),
            "--data", str(self.work / "landing.parquet"),
            "--config", str(self.work / "retraining-model.yaml"),
            "--home", str(self.home.root), "--as", BUILDER, "--output", "json",
        ]  # fmt: skip
        return Settings(
            explain="always",
            scorer_command=(*SCORER, "--model-memory", MODEL_MEMORY),
            interval=0.5,
            drift=True,
            drift_window=400,
            drift_flags=(
                # Weeks pass in minutes here, and so do looks; the budget is that of production.
                *("--look", LOOK),
                # Where Alertmanager runs it carries the alerts, and the monitor must not send its own.
                *(("--alert-url", "") if monitoring.find_prometheus() else ()),
            ),
            retrain=shlex.join(command),
            retrain_flags=("--cooldown", "60s"),
        )

    @contextlib.asynccontextmanager
    async def _monitoring(self, platform: Platform) -> AsyncGenerator[None]:
        """The real Prometheus and Alertmanager, where they are installed."""
        tools = monitoring.find_prometheus()
        if tools is None or platform.drift is None or platform.retrain is None:
            yield
            return
        targets = [
            monitoring.Target("drift", platform.drift.url.removeprefix("http://")),
            monitoring.Target("retrain", platform.retrain.url.removeprefix("http://")),
        ]
        running = await monitoring.start(
            tools,
            self.home.platform / "prometheus",
            targets,
            f"{platform.retrain.url}/api/v1/alerts",
            mark=platform.mark,
        )
        self.screen.say(f"   {running.prometheus_url}  Prometheus, with Alertmanager, scraping each second")
        try:
            yield
        finally:
            await running.stop()

    # --- 4. canaries ------------------------------------------------------------------

    async def _canary(self, platform: Platform, kitchen: Kitchen, traffic: Traffic, recipe: Recipe) -> None:
        say = self.screen.say
        if recipe.fault:
            say(f"   what is wrong with it: {recipe.fault}")
        if not kitchen.ready(recipe.name):
            say("   its pipeline is still running, beside the live traffic")
        try:
            made = await kitchen.serve(recipe.name)
        except SerinusError as error:
            # One candidate that cannot be had is no reason to withhold the other stories.
            say(f"   [red]no candidate[/red]  {error}")
            self.closing.untold(recipe.title, error)
            return
        say(f"   {made['name']} v{made['version']} passed its offline gates and was registered")
        recording = await play(
            platform,
            self.screen,
            traffic,
            recipe,
            spec_for(self.contract.name, int(made["version"]), timeout=self.options.time_for_a_story),
            builder=BUILDER,
            approver=APPROVER,
            validator=VALIDATOR,
            timeout=self.options.time_for_a_story,
        )
        tell_ending(self.screen, recording)
        self.closing.story(recording)

    async def _show_decision(self, traffic: Traffic) -> None:
        for body in reversed(traffic.bodies):
            decision = decision_of(body)
            if decision.get("decision") in ("decline", "review") and decision.get("reasons"):
                break
        else:
            return
        self.screen.say()
        self.screen.say(
            f"   one of the answers: probability {decision['probability']:.3f}, decision {decision['decision']}"
        )
        for reason in decision["reasons"]:
            self.screen.say(
                f"      {reason['code']}  {reason['text']} (+{reason['contribution']:.2f} log-odds)"
            )
