"""The compiled pipeline as a KFP server's driver reads it: what each task gets, and in which order tasks can run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Obj = dict[str, Any]
OUTPUT_FILE = "/tmp/kfp_outputs/output_metadata.json"


@dataclass
class Run:
    """One run of a compiled pipeline: its parameters in, its artefacts by task and name out."""

    spec: Obj
    platform: Obj
    parameters: Obj
    root: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    made: dict[str, dict[str, Obj]] = field(default_factory=dict[str, dict[str, Obj]])

    @classmethod
    def of(cls, path: Path, parameters: Obj, root: str) -> Run:
        """A run of the file that ``serinus pipeline compile`` wrote; defaults are filled in, as the server does."""
        spec, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
        declared: Obj = spec["root"]["inputDefinitions"]["parameters"]
        unknown = set(parameters) - set(declared)
        assert not unknown, f"the pipeline has no parameter {unknown}"
        defaults = {
            name: value["defaultValue"] for name, value in declared.items() if "defaultValue" in value
        }
        given = defaults | parameters
        assert set(given) == set(declared), f"missing: {set(declared) - set(given)}"
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return cls(spec, executors, given, root.rstrip("/"))

    @property
    def tasks(self) -> dict[str, Obj]:
        """Tasks by name."""
        return self.spec["root"]["dag"]["tasks"]

    def order(self) -> Iterator[str]:
        """The tasks, each after those it depends on."""
        done: set[str] = set()
        while len(done) < len(self.tasks):
            ready = [
                name
                for name, task in sorted(self.tasks.items())
                if name not in done and set(task.get("dependentTasks", ())) <= done
            ]
            assert ready, "the tasks depend on each other in a circle"
            for name in ready:
                yield name
                done.add(name)

    def component(self, task: str) -> Obj:
        """The task's component: what goes in and comes out."""
        return self.spec["components"][self.tasks[task]["componentRef"]["name"]]

    def container(self, task: str) -> Obj:
        """Image, command, arguments, resources."""
        return self.spec["deploymentSpec"]["executors"][self.component(task)["executorLabel"]]["container"]

    def on_platform(self, task: str) -> Obj:
        """The task's Kubernetes part."""
        return self.platform.get(self.component(task)["executorLabel"], {})

    def executor_input(self, task: str, **changes: Any) -> Obj:
        """KFP's ``ExecutorInput`` in JSON (api/v2alpha1/pipeline_spec.proto). ``changes`` replace parameters."""
        inputs, component = self.tasks[task].get("inputs", {}), self.component(task)
        values: Obj = {}
        for name, source in inputs.get("parameters", {}).items():
            if "componentInputParameter" in source:
                values[name] = self.parameters[source["componentInputParameter"]]
            else:
                values[name] = source["runtimeValue"]["constant"]
        assert set(changes) <= set(values), f"{task} has no parameter {set(changes) - set(values)}"
        artefacts: Obj = {}
        for name, source in inputs.get("artifacts", {}).items():
            asked = source["taskOutputArtifact"]
            artefacts[name] = {"artifacts": [self.made[asked["producerTask"]][asked["outputArtifactKey"]]]}
        attempt = f"{self.root}/{self.spec['pipelineInfo']['name']}/{self.id}/{task}/{uuid.uuid4()}"
        outputs: Obj = {
            name: {
                "artifacts": [
                    {
                        "name": name,
                        "type": definition["artifactType"],
                        "uri": f"{attempt}/{name}",
                        "metadata": {},
                    }
                ]
            }
            for name, definition in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        return {
            "inputs": {"parameterValues": values | changes, "artifacts": artefacts},
            "outputs": {"artifacts": outputs, "outputFile": OUTPUT_FILE},
        }

    def finished(self, task: str, given: Obj, output: Obj) -> None:
        """Note what the task made, with the metadata that it gave its artefacts."""
        self.made[task] = {}
        for name, made in given["outputs"]["artifacts"].items():
            told = output.get("artifacts", {}).get(name, {}).get("artifacts", [{}])[0]
            artefact = made["artifacts"][0]
            self.made[task][name] = artefact | {"metadata": told.get("metadata", {})}


def arguments(container: Obj, executor_input: Obj) -> list[str]:
    """Command and arguments with KFP's placeholder for the whole input resolved."""
    text = json.dumps(executor_input)
    return [part.replace("{{$}}", text) for part in (*container["command"], *container.get("args", ()))]
