/** A dialog over the screen. */
import { useEffect, useRef } from "preact/hooks";

/** The browser's own: it keeps the focus inside, and Escape closes it. */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  children: preact.ComponentChildren;
}): preact.JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={props.onClose} aria-labelledby="dialog-title">
      <div class="dialog-head">
        <h2 id="dialog-title">{props.title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={() => dialog.current?.close()}>
          ✕
        </button>
      </div>
      {props.children}
    </dialog>
  );
}
