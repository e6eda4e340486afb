/*
 * ports: where a PC's devices are. Those of power management are in pm.h.
 */
#ifndef MONITOR_PLATFORM_PORTS_H
#define MONITOR_PLATFORM_PORTS_H

#define PORT_PIC_MASTER  0x020u
#define PORT_PIT         0x040u
#define PORT_SYSTEM_B    0x061u /* channel 2 of the PIT, speaker */
#define PORT_RTC         0x070u
#define PORT_POST        0x080u
#define PORT_PIC_SLAVE   0x0a0u
#define PORT_DEBUG       0x0e9u
#define PORT_TEST_EXIT   0x0f4u
#define PORT_COM1        0x3f8u
#define PORT_ELCR        0x4d0u
#define PORT_PCI_ADDRESS 0xcf8u
#define PORT_PCI_DATA    0xcfcu

#define PORTS_MAPPED 0x1000u /* above are no fixed devices */

#endif
