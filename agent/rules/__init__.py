"""Rules: which policy and enforcement stand for a reference, and what a verdict means under them."""
