"""Tests of agent.policies."""
