import { NoAnswer } from "./errors.ts";

/** @throws NoAnswer when the deadline (of performance.now()) passes first */
export function within<T>(deadline: number, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new NoAnswer()), deadline - performance.now());
    // What comes after the deadline is nobody's any more: settling twice does nothing.
    answer.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: Error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** That of node:timers/promises is a module more to load at every start. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
