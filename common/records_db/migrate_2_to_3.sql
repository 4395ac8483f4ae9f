-- From version 2 to version 3: which positions a policy lost, how long a sample
-- is, and how often a server died of it. schema.sql says what the columns mean. Records stay as they are;
-- what was not recorded then is NULL.

DROP VIEW recalls;

ALTER TABLE step_recalls ADD COLUMN lost TEXT;
ALTER TABLE samples ADD COLUMN length INTEGER;
ALTER TABLE samples ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;

CREATE VIEW recalls AS
SELECT runs.run_id AS run, samples.sample_id AS sample,
       steps.attempt AS attempt, steps.step AS step, steps.n AS n,
       steps.token AS token, steps.entropy AS entropy,
       lanes.policy AS policy, lanes.scope AS scope, lanes.budget AS budget,
       step_recalls.k AS k, step_recalls.recall AS recall,
       step_recalls.chance AS chance, step_recalls.lift AS lift,
       step_recalls.mass AS mass, step_recalls.mass_ratio AS mass_ratio,
       step_recalls.recall_without_free_hits AS recall_without_free_hits,
       step_recalls.drift AS drift, step_recalls.fetched_back AS fetched_back,
       step_recalls.lost AS lost
FROM runs
JOIN steps ON steps.run = runs.id
JOIN samples ON samples.id = steps.sample
            AND samples.recorded_attempt = steps.attempt
JOIN step_recalls ON step_recalls.run = steps.run
                 AND step_recalls.sequence = steps.sequence
JOIN lanes ON lanes.run = step_recalls.run
          AND lanes.lane = step_recalls.lane;

PRAGMA user_version = 3;
