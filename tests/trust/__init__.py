"""Tests of agent.trust."""
