"""How likely is it that a pair of photo and caption needs a person: encoders, vectors, signals, risk, reasons."""
