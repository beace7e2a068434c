/* A device by libmodbus: modbus_device tcp PORT | rtu PATH. Its holding registers hold their addresses. */

#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    int tcp = strcmp(arguments[1], "tcp") == 0;
    modbus_t *device = tcp ? modbus_new_tcp("127.0.0.1", atoi(arguments[2]))
                           : modbus_new_rtu(arguments[2], 115200, 'N', 8, 1);
    modbus_mapping_t *memory = modbus_mapping_new(100, 100, 200, 100);
    for (int address = 0; address < 200; address++)
        memory->tab_registers[address] = address;
    if (!tcp)
        modbus_set_slave(device, 1);
    int listener = -1;
    if (tcp ? (listener = modbus_tcp_listen(device, 4)) < 0 : modbus_connect(device) < 0) {
        fprintf(stderr, "%s\n", modbus_strerror(errno));
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        if (tcp && modbus_tcp_accept(device, &listener) < 0)
            return 1;
        unsigned char request[MODBUS_TCP_MAX_ADU_LENGTH];
        int length;
        while ((length = modbus_receive(device, request)) >= 0 || !tcp)
            if (length > 0)
                modbus_reply(device, request, length, memory);
        close(modbus_get_socket(device));
    }
}
