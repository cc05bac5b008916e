"""Everything that touches the world.  Each adapter translates its exceptions into those of `agent.errors`."""
