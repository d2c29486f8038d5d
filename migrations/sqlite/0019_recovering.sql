-- Since when a receiver is back that was away: what waits for it is sent in growing steps.
ALTER TABLE webhooks ADD COLUMN recovering_since INTEGER;
-- The list of what is not resolved, last changed first.
CREATE INDEX alerts_living_updated ON alerts (updated_at, id) WHERE resolved_at IS NULL;
