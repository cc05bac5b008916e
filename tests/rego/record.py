"""Ask a real OPA every question and keep its answers: `python -m tests.rego.record`."""

import json
from collections.abc import Mapping

from tests.rego import argument_types
from tests.rego.questions import ANSWERS, questions
from tests.testbed import opa


def answers() -> dict[str, Mapping[str, object]]:
    """OPA's answers, by the questions' names."""
    asked = list(questions())
    found = opa.ask({"policy": each.policy, "query": f"data.{each.document}", "input": each.input} for each in asked)
    return {each.name: answer for each, answer in zip(asked, found, strict=True)}


def are_refused(policies: list[str]) -> list[bool]:
    """Whether OPA refuses each policy."""
    return ["error" in answer for answer in opa.ask({"policy": each, "query": "data.t.x"} for each in policies)]


if __name__ == "__main__":
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    ANSWERS.write_text(json.dumps(answers(), indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    types = argument_types.taken(are_refused)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(types[name])}" for name in sorted(types))
    argument_types.TAKEN.write_text(f"{{\n{lines}\n}}\n")
    print(f"{ANSWERS}: {len(answers())} answers")
