"""Tests of agent.formats."""
