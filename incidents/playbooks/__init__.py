"""Playbooks: written as data, approved by another, frozen when started, resumed where they stopped, and audited.

`definition` says what steps may be, `signals` what may be asked, `actions` what may be done; `publishing` makes a
version, `attaching` finds the incidents it is for, `running` does it, `steps` is one step, `hands` is what people do
with it, `undoing` takes back, and `auditing` proves that nobody was forgotten.
"""
