/** What one look found. */
export type Level = "ok" | "warning" | "problem";

export interface Finding {
  level: Level;
  /** In one or two words. */
  about: string;
  message: string;
  /** What to do; null where all is well. */
  remedy: string | null;
}

export function ok(about: string, message: string): Finding {
  return { level: "ok", about, message, remedy: null };
}

export function warning(about: string, message: string, remedy: string): Finding {
  return { level: "warning", about, message, remedy };
}

export function problem(about: string, message: string, remedy: string): Finding {
  return { level: "problem", about, message, remedy };
}
