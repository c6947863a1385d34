// What `cargo xtask browser` tells the tests in the environment.

function variable(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: run these tests by \`cargo xtask browser\``)
  return value
}

/** The application's base URL. */
export const url = variable('AFTERWORD_TEST_URL')
export const adminToken = variable('AFTERWORD_TEST_ADMIN_TOKEN')
export const webhookSecret = variable('AFTERWORD_TEST_WEBHOOK_SECRET')

/** The base URL of the stand-in for Supabase, and its key that may write. */
export const supabase = variable('AFTERWORD_TEST_SUPABASE_URL')
export const supabaseKey = variable('AFTERWORD_TEST_SUPABASE_KEY')

/** The path of the browser, and the folder of the screenshots. */
export const chromium = variable('AFTERWORD_TEST_CHROMIUM')
export const screenshots = variable('AFTERWORD_TEST_SCREENSHOTS')
