/** Messages as an agent is shown them. */
const FRAME =
  /<agent-message from="([^"\n]*)" type="[^"\n]*" id="([^"\n]*)"(?: [a-z_]+="[^"\n]*")*>\n((?:\| [^\n]*\n)*(?:\[cut; whole: [^\n]*\n)?)<\/agent-message>/g;

export interface Frame {
  from: string;
  id: string;
  text: string;
}

export function framesIn(shown: string): Frame[] {
  return [...shown.matchAll(FRAME)].map(([, from, id, text]) => ({
    from: from!,
    id: id!,
    text: text!.replaceAll(/^\| /gm, ""),
  }));
}

export function outsideFrames(shown: string): string {
  return shown.replaceAll(FRAME, "");
}

/** Of the messages, in hosts that escape what a hook says. */
export function idsIn(shown: string): string[] {
  return [...shown.matchAll(/(?:<|&lt;)agent-message [^\n]*? id="([^"]*)"/g)].map(([, id]) => id!);
}
