"""Policies and documents may take any time to be tried and looked through, but where their time is what is tested."""

import pytest

from agent.adapters import policy_worker


@pytest.fixture(autouse=True)
def _ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine each of their processes may be kept from the processor."""
    monkeypatch.setattr(policy_worker, "TRIAL_SECONDS", 30.0)
    monkeypatch.setattr(policy_worker, "DOCUMENT_SECONDS", 30.0)
