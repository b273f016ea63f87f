/** What a screen asks for, asked again whenever something has happened. */
import { useEffect, useState } from "preact/hooks";
import type { CheckResult } from "../src/protocol/results.ts";
import { ask, happenings, Refused, type Trouble } from "./state.ts";

/** So often at most while much happens. */
const EVERY_MILLISECONDS = 400;

export function useAnswer(
  path: string,
  query: Readonly<Record<string, string>>,
): { answer: CheckResult | undefined; trouble: Trouble | undefined; again: () => void } {
  const [answer, setAnswer] = useState<CheckResult | undefined>(undefined);
  const [trouble, setTrouble] = useState<Trouble | undefined>(undefined);
  const [round, setRound] = useState(0);
  const key = `${path}?${new URLSearchParams(query).toString()}`;
  useEffect(() => {
    setAnswer(undefined);
    setTrouble(undefined);
  }, [key]);
  useEffect(() => {
    let over = false;
    ask<CheckResult>(path, query).then(
      (value) => {
        if (over) return;
        setAnswer(value);
        setTrouble(undefined);
      },
      (error: unknown) => {
        if (!over && error instanceof Refused) setTrouble({ error: error.message, hint: error.hint });
      },
    );
    return () => (over = true);
  }, [key, round]);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let first = true;
    const stop = happenings.subscribe(() => {
      if (!first) timer ??= setTimeout(() => ((timer = undefined), setRound((last) => last + 1)), EVERY_MILLISECONDS);
      first = false;
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
  return { answer, trouble, again: () => setRound((last) => last + 1) };
}
