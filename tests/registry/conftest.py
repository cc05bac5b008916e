"""The public suffix list is read once: it takes 60 ms, which a pull pays once, and some hundred tests would each."""

import functools

import publicsuffixlist
import pytest

_read_once = functools.cache(publicsuffixlist.PublicSuffixList)


@pytest.fixture(autouse=True)
def _list_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publicsuffixlist, "PublicSuffixList", _read_once)
