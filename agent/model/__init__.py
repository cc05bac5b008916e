"""The nouns: plain values that every other layer passes around.  No I/O, no clock, no third-party imports."""
