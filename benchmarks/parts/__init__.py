"""The parts: what is measured, and the table that shows it; one module for each."""
