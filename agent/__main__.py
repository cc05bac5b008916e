"""Entry point: everything happens in `agent.cli`."""

if __name__ == "__main__":
    import sys

    from agent.cli import main

    main(sys.argv)
