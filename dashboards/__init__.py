"""What the corrections bought: figures, charts, sentences, and the managers' pages."""
