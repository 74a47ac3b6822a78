"""The database went back in time: found by what lies outside of it, put right from the journal, let go by a person."""
