"""Ask a real OPA every question and keep its answers: `python -m tests.rego.record`."""

import json
from collections.abc import Mapping

from tests.rego.questions import ANSWERS, questions
from tests.testbed import opa


def answers() -> dict[str, Mapping[str, object]]:
    """OPA's answers, by the questions' names."""
    asked = list(questions())
    found = opa.ask({"policy": each.policy, "query": f"data.{each.document}", "input": each.input} for each in asked)
    return {each.name: answer for each, answer in zip(asked, found, strict=True)}


if __name__ == "__main__":
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    ANSWERS.write_text(json.dumps(answers(), indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    print(f"{ANSWERS}: {len(answers())} answers")
