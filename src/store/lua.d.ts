/** The build and the test runner import the scripts as text. */
declare module "*.lua" {
  const source: string;
  export default source;
}
