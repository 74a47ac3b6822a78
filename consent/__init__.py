"""Choices: the one log of decisions, the state the database projects from it, and every way out."""
