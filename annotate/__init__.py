"""The rooms of the people who correct: queue, form, Label Studio, audit, the demo crew, staff pages."""
