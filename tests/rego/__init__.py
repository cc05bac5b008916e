"""Tests of `agent.rego`: what OPA answers, and what it would not."""
