/* One view for each place that Streamlit mounts a component in.

   component(View) -> {render, unmount}: what the page's script is asked for
     render({data, parentElement, setStateValue, setTriggerValue}) is called at mount and after every rerun. A new model
     gets a new View(model); its .element fills the frame, .update(args) takes the data, .close() lets go. The mounted
     root's .live is {key, view}: the browser tests look there.

   Python sends {data} and takes setStateValue(name, value), which stays, and setTriggerValue(name, value), which does not. */

/**
 * @typedef {object} Args
 * @property {any} data
 * @property {Root} parentElement
 * @property {(name: string, value: any) => void} setStateValue
 * @property {(name: string, value: any) => void} setTriggerValue
 */
/** @typedef {{element: HTMLElement, update(args: Args): void, close(): void}} View */
/** @typedef {HTMLElement & {live?: {key: string, view: View}}} Root */

/** @param {new (model: import("./engine.js").Model) => View} View */
export function component(View) {
  /** @param {Args} args */
  function render(args) {
    const { data, parentElement: root } = args;
    const key = `${data.model.name}/${data.model.digest}`;
    if (root.live?.key !== key) {
      root.live?.view.close();
      root.live = { key, view: new View(data.model) };
      root.querySelector(".frame")?.replaceChildren(root.live.view.element);
    }
    root.live.view.update(args);
  }

  /** @param {Root} root */
  function unmount(root) {
    root.live?.view.close();
    delete root.live;
  }

  return { render, unmount };
}
