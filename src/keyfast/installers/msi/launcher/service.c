/* The service: keeps an agent running until the service manager says stop. */
#include "launcher.h"

/* The agent ends when its input does: that is how this host asks it to. */
#define AGENT L"run --until-eof"

/* With this exit code it asks to be started anew at once; also in keyfast/errors.py. */
#define EXIT_START_AGAIN 75

#define MINUTE (60 * 1000)
#define FIRST_PAUSE 2000
#define LONGEST_PAUSE (5 * MINUTE)
#define STOP_PATIENCE 20000

static SERVICE_STATUS_HANDLE handle;
static HANDLE stopping;

static void report(DWORD state, DWORD exit_code) {
  SERVICE_STATUS status = {
      .dwServiceType = SERVICE_WIN32_OWN_PROCESS,
      .dwCurrentState = state,
      .dwControlsAccepted = state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_PRESHUTDOWN : 0,
      .dwWin32ExitCode = exit_code,
      .dwWaitHint = state == SERVICE_STOP_PENDING ? STOP_PATIENCE + 5000 : 0,
  };
  SetServiceStatus(handle, &status);
}

static DWORD WINAPI on_control(DWORD control, DWORD type, void *data, void *context) {
  (void)type, (void)data, (void)context;
  if (control == SERVICE_CONTROL_INTERROGATE) return NO_ERROR;
  if (control != SERVICE_CONTROL_STOP && control != SERVICE_CONTROL_PRESHUTDOWN) return ERROR_CALL_NOT_IMPLEMENTED;
  report(SERVICE_STOP_PENDING, NO_ERROR);
  SetEvent(stopping);
  return NO_ERROR;
}

/* Has the service manager start this host again, should it ever die. The MSI's own table for this is not reliable. */
static void set_recovery(void) {
  SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
  SC_HANDLE service = manager ? OpenServiceW(manager, SERVICE_NAME, SERVICE_CHANGE_CONFIG | SERVICE_START) : NULL;
  SC_ACTION actions[] = {{SC_ACTION_RESTART, 5000}, {SC_ACTION_RESTART, MINUTE}, {SC_ACTION_RESTART, 5 * MINUTE}};
  SERVICE_FAILURE_ACTIONSW failure = {.dwResetPeriod = 24 * 60 * 60, .cActions = 3, .lpsaActions = actions};
  SERVICE_FAILURE_ACTIONS_FLAG always = {.fFailureActionsOnNonCrashFailures = TRUE};
  if (service) {
    if (!ChangeServiceConfig2W(service, SERVICE_CONFIG_FAILURE_ACTIONS, &failure) ||
        !ChangeServiceConfig2W(service, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, &always))
      log_line("the service's recovery actions cannot be set; error", GetLastError());
    CloseServiceHandle(service);
  }
  if (manager) CloseServiceHandle(manager);
}

/* Runs the agent again whenever it ends; one that ends soon is started after a longer pause each time. */
static void keep_running(void) {
  DWORD pause = FIRST_PAUSE;
  for (;;) {
    struct child child;
    ULONGLONG started = GetTickCount64();
    if (child_start(&child, AGENT)) {
      HANDLE either[] = {stopping, child.process};
      DWORD code = 0;
      if (WaitForMultipleObjects(2, either, FALSE, INFINITE) != WAIT_OBJECT_0 + 1) {
        child_stop(&child, STOP_PATIENCE);
        return;
      }
      GetExitCodeProcess(child.process, &code);
      child_close(&child);
      if (code == EXIT_START_AGAIN) continue;
      log_line("the agent has ended and is started again; exit code", code);
    } else {
      log_line("the agent cannot be started; error", GetLastError());
    }
    if (GetTickCount64() - started > LONGEST_PAUSE) pause = FIRST_PAUSE;
    if (WaitForSingleObject(stopping, pause) == WAIT_OBJECT_0) return;
    pause = pause * 2 < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE;
  }
}

static void WINAPI service_main(DWORD count, wchar_t **arguments) {
  (void)count, (void)arguments;
  stopping = CreateEventW(NULL, TRUE, FALSE, NULL);
  handle = RegisterServiceCtrlHandlerExW(SERVICE_NAME, on_control, NULL);
  if (!handle) return;
  if (!stopping) {
    report(SERVICE_STOPPED, GetLastError());
    return;
  }
  log_open();
  report(SERVICE_RUNNING, NO_ERROR);
  set_recovery();
  DWORD error = protect_packages();
  if (error) log_line("others can read the copy of the package that Windows keeps; error", error);
  keep_running();
  report(SERVICE_STOPPED, NO_ERROR);
}

int run_service(void) {
  wchar_t name[] = SERVICE_NAME;
  SERVICE_TABLE_ENTRYW table[] = {{name, service_main}, {NULL, NULL}};
  return StartServiceCtrlDispatcherW(table) ? 0 : EXIT_NO_SERVICE_MANAGER;
}
