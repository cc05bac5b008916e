"""Documents to configuration: every problem is found and told, or a whole, checked configuration comes out."""
