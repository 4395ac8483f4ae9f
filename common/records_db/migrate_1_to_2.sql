-- From version 1 to version 2: scope head and what the telemetry gained.
-- schema.sql says what the columns mean. Records stay as they are; what was not
-- measured then is NULL.

DROP VIEW recalls;

ALTER TABLE step_recalls RENAME COLUMN row_recalls TO layer_recalls;
ALTER TABLE step_recalls ADD COLUMN recall_without_free_hits REAL;
ALTER TABLE step_recalls ADD COLUMN drift REAL;
ALTER TABLE step_recalls ADD COLUMN fetched_back REAL;

ALTER TABLE samples ADD COLUMN gap_scores TEXT;

CREATE TABLE gap_lanes (
  run INTEGER NOT NULL REFERENCES runs (id),
  gap INTEGER NOT NULL,
  lane TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('without_gold', 'only_pred')),
  policy TEXT,
  scope TEXT NOT NULL,
  budget TEXT NOT NULL,
  budget_kind TEXT NOT NULL CHECK (budget_kind IN ('current_ratio',
    'prompt_ratio', 'tokens')),
  budget_value REAL NOT NULL,
  PRIMARY KEY (run, gap)
) STRICT, WITHOUT ROWID;

CREATE TABLE step_gaps (
  run INTEGER NOT NULL REFERENCES runs (id),
  sequence INTEGER NOT NULL,
  gap INTEGER NOT NULL,
  kl REAL NOT NULL,
  entropy_change REAL NOT NULL,
  logprob_change REAL NOT NULL,
  token_id INTEGER NOT NULL,
  top1_agrees INTEGER NOT NULL,
  PRIMARY KEY (run, sequence, gap)
) STRICT, WITHOUT ROWID;

CREATE VIEW recalls AS
SELECT runs.run_id AS run, samples.sample_id AS sample,
       steps.attempt AS attempt, steps.step AS step, steps.n AS n,
       steps.token AS token, steps.entropy AS entropy,
       lanes.policy AS policy, lanes.scope AS scope, lanes.budget AS budget,
       step_recalls.k AS k, step_recalls.recall AS recall,
       step_recalls.chance AS chance, step_recalls.lift AS lift,
       step_recalls.mass AS mass, step_recalls.mass_ratio AS mass_ratio,
       step_recalls.recall_without_free_hits AS recall_without_free_hits,
       step_recalls.drift AS drift, step_recalls.fetched_back AS fetched_back
FROM runs
JOIN steps ON steps.run = runs.id
JOIN samples ON samples.id = steps.sample
            AND samples.recorded_attempt = steps.attempt
JOIN step_recalls ON step_recalls.run = steps.run
                 AND step_recalls.sequence = steps.sequence
JOIN lanes ON lanes.run = step_recalls.run
          AND lanes.lane = step_recalls.lane;

CREATE VIEW gaps AS
SELECT runs.run_id AS run, samples.sample_id AS sample,
       steps.attempt AS attempt, steps.step AS step, steps.n AS n,
       steps.token AS token, steps.entropy AS entropy,
       gap_lanes.lane AS lane, gap_lanes.kind AS kind,
       gap_lanes.policy AS policy, gap_lanes.scope AS scope,
       gap_lanes.budget AS budget, step_gaps.kl AS kl,
       step_gaps.entropy_change AS entropy_change,
       step_gaps.logprob_change AS logprob_change,
       step_gaps.token_id AS gap_token_id,
       step_gaps.top1_agrees AS top1_agrees
FROM runs
JOIN steps ON steps.run = runs.id
JOIN samples ON samples.id = steps.sample
            AND samples.recorded_attempt = steps.attempt
JOIN step_gaps ON step_gaps.run = steps.run
              AND step_gaps.sequence = steps.sequence
JOIN gap_lanes ON gap_lanes.run = step_gaps.run
              AND gap_lanes.gap = step_gaps.gap;

PRAGMA user_version = 2;
