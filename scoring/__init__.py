"""Says of every pair of photo and caption how likely it is to need a person: encoders, vectors, signals, risk, reasons."""
