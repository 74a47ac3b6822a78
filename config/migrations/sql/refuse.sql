-- One refusal for every table that only grows. Enabled ALWAYS where it is attached, so that a replica role meets it too.
CREATE FUNCTION holdfast_refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% is kept: % is refused', TG_TABLE_NAME, lower(TG_OP) USING ERRCODE = 'HF001',
    HINT = 'Add a row that corrects it.';
END $$;
