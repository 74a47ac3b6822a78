"""Incidents for services: declare, follow, add to the story, contain, close; and how many people leave right now."""
