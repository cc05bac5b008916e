"""Tests of agent.rules."""
