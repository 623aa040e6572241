"""From a leaderboard's claims to tested causes: one file per stage, named for its verb."""
